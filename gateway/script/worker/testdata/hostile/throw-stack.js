// an error whose stack is replaced by something that hangs
export default function handle(input) {
  Error.prepareStackTrace = () => { for (;;); }
  const e = new Error('x')
  Object.defineProperty(e, 'stack', { get() { for (;;); } })
  throw e
}
