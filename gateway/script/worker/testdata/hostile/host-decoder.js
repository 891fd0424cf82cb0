// decoding of 100 MB, again and again
export default function handle(input) {
  const b = new Uint8Array(1e8)
  const l = []
  for (;;) l.push(new TextDecoder().decode(b))
}
