// ArrayBuffers of 100 MB
export default function handle(input) {
  const l = []
  for (;;) l.push(new ArrayBuffer(1e8))
}
