// a loop in finally
export default function handle(input) {
  try { for (;;); } finally { for (;;); }
}
