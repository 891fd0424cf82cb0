// TypedArray.from something endless
export default function handle(input) {
  return Uint8Array.from((function* () { for (;;) yield 1 })())
}
