// parsing of a long date
export default function handle(input) {
  for (;;) Date.parse('2026-01-01T' + '0'.repeat(1e7))
}
