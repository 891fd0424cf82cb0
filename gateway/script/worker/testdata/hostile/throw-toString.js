// an object, thrown, whose toString hangs
export default function handle(input) {
  throw { toString() { for (;;); }, [Symbol.toPrimitive]() { for (;;); } }
}
