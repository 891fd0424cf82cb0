// repeat of a string, and again
export default function handle(input) {
  const l = []
  for (;;) l.push('ab'.repeat(2 ** 26))
}
