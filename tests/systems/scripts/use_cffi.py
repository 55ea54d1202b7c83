"""A C function called, and a Python function called back, through the grafted libffi.

The backend is used as it stands: cffi's parser of C declarations needs pycparser, a package of its own.
"""

from __future__ import annotations

import _cffi_backend as backend
from mapped import assert_grafted

size_type = backend.new_primitive_type("size_t")
int_type = backend.new_primitive_type("int")
text_type = backend.new_pointer_type(backend.new_primitive_type("char"))
array_type = backend.new_array_type(backend.new_pointer_type(int_type), 3)
address_type = backend.new_pointer_type(backend.new_void_type())
compare_type = backend.new_function_type((address_type, address_type), int_type, False)

library = backend.load_library(None, 0)
strlen = library.load_function(backend.new_function_type((text_type,), size_type, False), "strlen")
assert strlen(b"deloc8") == 6


def compare(left: object, right: object) -> int:
    """The difference of two integers that C found by their addresses."""
    integers = backend.new_pointer_type(int_type)
    return int(backend.cast(integers, left)[0] - backend.cast(integers, right)[0])


sort_type = backend.new_function_type(
    (address_type, size_type, size_type, compare_type), backend.new_void_type(), False
)
numbers = backend.newp(array_type, [3, 1, 2])
library.load_function(sort_type, "qsort")(numbers, 3, 4, backend.callback(compare_type, compare))
assert list(numbers) == [1, 2, 3]
assert_grafted("cffi.libs", "libffi")
print("worked")
