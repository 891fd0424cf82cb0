// JSON of many megabytes, parsed again and again
export default function handle(input) {
  const s = '[' + '{},'.repeat(5e6) + '0]'
  const l = []
  for (;;) l.push(JSON.parse(s))
}
