"""Instructions of the processor that Python has no words for, for the kernels beside this module.

Numba's cache notices changes of a kernel's own file alone: whoever changes this one touches those that import it.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_WORD, _WIDE, _SMALL = ir.IntType(64), ir.IntType(128), ir.IntType(32)
LANES = 16  # numbers weighed and added at once: one cache line of float32
_ROW, _PLACES = ir.VectorType(ir.DoubleType(), LANES), ir.VectorType(_SMALL, LANES)
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


def _row(builder: Any, context: Any, kind: types.Type, array: Any, place: Any, of: ir.Type) -> Any:
    """The address of sixteen neighbours in an array, from its flat element `place` on."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), ir.VectorType(of, LANES).as_pointer())


def _weighed(context: Any, builder: Any, signature: Any, arguments: Any) -> tuple[Any, Any]:
    """(address of the sums, a table's row of sixteen × one weight)."""
    sums, table, place, weight = arguments
    row = builder.load(_row(builder, context, signature.args[1], table, place, ir.FloatType()), align=4)
    everywhere = builder.insert_element(ir.Constant(_ROW, ir.Undefined), weight, ir.Constant(_SMALL, 0))
    everywhere = builder.shuffle_vector(everywhere, ir.Constant(_ROW, ir.Undefined), ir.Constant(_PLACES, [0] * LANES))
    address = _row(builder, context, signature.args[0], sums, ir.Constant(_WORD, 0), ir.DoubleType())
    return address, builder.fmul(builder.fpext(row, _ROW), everywhere)


def _put_row(typing: Any, sums: types.Type, table: types.Type, place: types.Type, weight: types.Type) -> Any:
    """sums[0 … 15] = weight × the sixteen float32 of a table from its flat element `place` (uint64) on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, weighed = _weighed(context, builder, signature, arguments)
        builder.store(weighed, address, align=8)
        return context.get_dummy_value()

    return types.void(sums, table, types.uint64, types.float64), generate


def _add_row(typing: Any, sums: types.Type, table: types.Type, place: types.Type, weight: types.Type) -> Any:
    """sums[0 … 15] += weight × the sixteen float32 of a table from its flat element `place` (uint64) on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, weighed = _weighed(context, builder, signature, arguments)
        builder.store(builder.fadd(builder.load(address, align=8), weighed), address, align=8)
        return context.get_dummy_value()

    return types.void(sums, table, types.uint64, types.float64), generate


def _least(typing: Any, sums: types.Type, lanes: types.Type) -> Any:
    """The least of the first `lanes` (a literal, up to sixteen) of sixteen float64 and 0. They hold no NaN."""
    count = int(lanes.literal_value) if isinstance(lanes, types.IntegerLiteral) else 0

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row = builder.load(
            _row(builder, context, signature.args[0], arguments[0], ir.Constant(_WORD, 0), ir.DoubleType()), align=8
        )
        nothing = ir.Constant(_ROW, [0.0] * LANES)
        counts = ir.Constant(ir.VectorType(ir.IntType(1), LANES), [lane < count for lane in range(LANES)])
        row = builder.select(counts, row, nothing)
        row = builder.select(builder.fcmp_ordered("<", row, nothing), row, nothing)
        width = LANES
        while width > 1:
            width //= 2
            blank = ir.Constant(row.type, ir.Undefined)
            halves = [
                builder.shuffle_vector(row, blank, ir.Constant(ir.VectorType(_SMALL, width), [*range(at, at + width)]))
                for at in (0, width)
            ]
            row = builder.select(builder.fcmp_ordered("<", *halves), *halves)
        return builder.extract_element(row, ir.Constant(_SMALL, 0))

    return (types.float64(sums, lanes), generate) if count else None


multiply_add: Any = intrinsic(_multiply_add)  # Any: kernels call them with numbers, not with numba's types
prefetch: Any = intrinsic(_prefetch)
put_row: Any = intrinsic(_put_row)
add_row: Any = intrinsic(_add_row)
least: Any = intrinsic(prefer_literal=True)(_least)
