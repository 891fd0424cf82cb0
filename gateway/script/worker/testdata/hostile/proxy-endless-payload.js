// a payload that is endless objects
export default function handle(input) {
  const f = () => new Proxy({}, { ownKeys: () => ['a', 'b'], getOwnPropertyDescriptor: () => ({ value: 1, enumerable: true, configurable: true }), get: (t, k) => k === 'a' || k === 'b' ? f() : undefined })
  return { events: [{ selector: 's', payload: f() }] }
}
