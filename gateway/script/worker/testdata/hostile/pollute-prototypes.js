// the prototypes polluted by getters that hang
export default function handle(input) {
  for (const k of ['events', 'response', 'selector', 'payload', 'id', 'type', 'toJSON', 'then', 'status'])
    Object.defineProperty(Object.prototype, k, { get() { for (;;); } })
  return {}
}
