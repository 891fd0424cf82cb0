// a reviver that nests what it revives
export default function handle(input) {
  JSON.parse('[[1]]', function (k, v) { if (typeof v === 'object') for (let i = 0; i < 1e7; i++) v[i] = [v]; return v })
}
