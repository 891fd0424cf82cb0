// recursion that catches its end, at each level twice
export default function handle(input) {
  const f = () => { try { f() } catch {} try { f() } catch {} }
  f()
}
