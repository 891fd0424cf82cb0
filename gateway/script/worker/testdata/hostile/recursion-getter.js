// a getter that reads itself
export default function handle(input) {
  const o = { get a() { return o.a } }
  o.a
}
