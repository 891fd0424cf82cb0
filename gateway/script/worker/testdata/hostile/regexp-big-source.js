// a pattern of many megabytes
export default function handle(input) {
  new RegExp('(?:a|b)?'.repeat(2e6)).test('x')
}
