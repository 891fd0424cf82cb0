// a loop that catches everything, the interrupt too
export default function handle(input) {
  for (;;) { try { for (;;); } catch {} finally { continue } }
}
