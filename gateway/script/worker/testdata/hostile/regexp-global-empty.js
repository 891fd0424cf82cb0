// matching nothing, everywhere, and keeping it
export default function handle(input) {
  const l = []
  for (;;) l.push('x'.repeat(1e6).match(/(?:)/g))
}
