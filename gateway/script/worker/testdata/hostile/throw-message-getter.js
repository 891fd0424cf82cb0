// an error whose message hangs
export default function handle(input) {
  throw Object.defineProperty(new Error(), 'message', { get() { for (;;); } })
}
