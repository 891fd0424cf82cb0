// a result of shared parts, 10^9 when written out
export default function handle(input) {
  let a = [1]
  for (let i = 0; i < 9; i++) a = new Array(10).fill(a)
  return { events: [{ selector: 's', payload: a }] }
}
