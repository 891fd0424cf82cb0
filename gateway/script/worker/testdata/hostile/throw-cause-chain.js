// an error with a million causes
export default function handle(input) {
  let e = new Error('x')
  for (let i = 0; i < 1e6; i++) e = new Error('y', { cause: e })
  throw e
}
