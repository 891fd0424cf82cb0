// JSON indented deeply
export default function handle(input) {
  let o = []
  for (let i = 0; i < 5e4; i++) o = [o]
  JSON.stringify(o, null, 10)
}
