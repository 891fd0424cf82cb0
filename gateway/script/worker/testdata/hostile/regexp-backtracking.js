// nested quantifiers
export default function handle(input) {
  /^(a+)+$/.test('a'.repeat(1e5) + 'b')
}
