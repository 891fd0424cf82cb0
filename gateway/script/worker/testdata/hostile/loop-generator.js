// a generator that never ends
export default function handle(input) {
  function* g() { for (;;) yield 1 }
  for (const x of g());
}
