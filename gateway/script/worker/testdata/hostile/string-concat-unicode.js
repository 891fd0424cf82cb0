// long texts of two widths, put together
export default function handle(input) {
  let s = ''
  for (;;) s = 'a'.repeat(1e6) + s + '\u{1F600}'.repeat(1e6)
}
