// hashing without end
export default function handle(input) {
  const { createHash } = crypto
  for (;;) createHash('sha512').update('x'.repeat(1e7)).digest('hex')
}
