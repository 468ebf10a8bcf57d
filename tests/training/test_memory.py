import pytest
import torch

from goldore.training.memory import is_memory_error


@pytest.mark.parametrize(
    "said",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    ],
)
def test_libraries_say_it_in_many_ways(said):
    assert is_memory_error(RuntimeError(said))
    assert not is_memory_error(ValueError(said))


def test_other_errors_are_none():
    for said in ("out of resource: shared memory, Required: 300000", "CUDA error: an illegal memory access"):
        assert not is_memory_error(RuntimeError(said))
    assert is_memory_error(MemoryError())
    assert is_memory_error(torch.OutOfMemoryError())


def raised(error, over, **options):
    """The error as it is raised while another one is handled."""
    try:
        try:
            raise over
        except type(over):
            if options:
                raise error from options["cause"]
            raise error  # noqa: B904
    except type(error) as found:
        return found


def test_what_led_to_an_error_counts_where_the_error_speaks_of_it():
    full = torch.OutOfMemoryError("CUDA out of memory")
    ended = RuntimeError("CUDA error: operation failed due to a previous error during capture")
    assert is_memory_error(raised(ended, full))
    assert is_memory_error(raised(ValueError(), TypeError(), cause=full))
    assert not is_memory_error(raised(KeyError("a mistake"), full))
    assert not is_memory_error(raised(RuntimeError("something else"), full, cause=None))
    itself = RuntimeError("round and round")
    itself.__cause__ = itself
    assert not is_memory_error(itself)
