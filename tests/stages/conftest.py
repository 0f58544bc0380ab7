import pytest

THREADS = 1  # as conf/train has it, for all tests that share this process


@pytest.fixture(scope="session", autouse=True)
def same_threads():
    from qnal.threads import use_threads

    use_threads(THREADS)
