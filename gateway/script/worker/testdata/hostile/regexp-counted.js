// counted quantifiers within each other
export default function handle(input) {
  new RegExp('(((x{1,1000}){1,1000}){1,1000}){1,1000}y').test('x'.repeat(1000))
}
