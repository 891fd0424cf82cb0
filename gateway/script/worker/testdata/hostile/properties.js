// an object with millions of properties
export default function handle(input) {
  const o = {}
  for (let i = 0; ; i++) o['p' + i] = i
}
