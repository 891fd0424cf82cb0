// one object within itself ten times, ten deep
export default function handle(input) {
  let o = { v: 'x' }
  for (let i = 0; i < 10; i++) o = new Array(10).fill(o)
  JSON.stringify(o)
}
