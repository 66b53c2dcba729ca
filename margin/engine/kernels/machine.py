"""Two instructions of the processor that Python has no words for, for the kernels beside this module.

Numba's cache notices changes of a kernel's own file alone: whoever changes this one touches those that import it.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_WORD, _WIDE, _SMALL = ir.IntType(64), ir.IntType(128), ir.IntType(32)
_READ, _KEEP, _DATA = (ir.Constant(_SMALL, value) for value in (0, 3, 1))  # as llvm.prefetch numbers them


def _multiply_add(typing: Any, hi: types.Type, lo: types.Type, a: types.Type, b: types.Type) -> Any:
    """(hi, lo) + a × b in 128 bits, all int64 and signed, lo the lower word's bits. Wraps silently: the caller proves
    that nothing overflows."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        high, low, left, right = arguments
        before = builder.or_(builder.shl(builder.zext(high, _WIDE), ir.Constant(_WIDE, 64)), builder.zext(low, _WIDE))
        after = builder.add(before, builder.mul(builder.sext(left, _WIDE), builder.sext(right, _WIDE)))
        words = [builder.trunc(builder.lshr(after, ir.Constant(_WIDE, 64)), _WORD), builder.trunc(after, _WORD)]
        return context.make_tuple(builder, signature.return_type, words)

    return types.UniTuple(types.int64, 2)(types.int64, types.int64, types.int64, types.int64), generate


def _prefetch(typing: Any, array: types.Type, place: types.Type) -> Any:
    """Fetch the cache line of the array's flat element `place` (uint64) while other work goes on; changes nothing."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), cgutils.voidptr_t)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, _SMALL, _SMALL, _SMALL])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [address, _READ, _KEEP, _DATA])
        return context.get_dummy_value()

    return types.void(array, types.uint64), generate


multiply_add: Any = intrinsic(_multiply_add)  # Any: kernels call them with numbers, not with numba's types
prefetch: Any = intrinsic(_prefetch)
