// Buffer.alloc of 2 GB
export default function handle(input) {
  return Buffer.alloc(2 ** 31 - 1, 'x').toString('hex')
}
