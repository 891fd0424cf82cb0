// replace with $& that doubles
export default function handle(input) {
  let s = 'x'.repeat(1000)
  for (;;) s = s.replace(/.+/, '$&$&')
}
