// base64 that grows
export default function handle(input) {
  let s = 'x'
  for (;;) s = btoa(s)
}
