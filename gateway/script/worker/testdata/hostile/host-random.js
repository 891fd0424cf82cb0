// random bytes, a gigabyte
export default function handle(input) {
  return crypto.randomBytes(2 ** 30).toString('hex')
}
