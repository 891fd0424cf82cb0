// What compiled mappings call. Values that are undefined are left out of lists and
// maps, and what then is empty is left out too.

export function object(pairs) {
  if (pairs.length === 0) return {}
  const result = {}
  let empty = true
  for (let i = 0; i < pairs.length; i += 2) {
    if (pairs[i + 1] === undefined) continue
    empty = false
    if (pairs[i] === '__proto__') {
      Object.defineProperty(result, '__proto__', { value: pairs[i + 1], enumerable: true, writable: true, configurable: true })
    } else {
      result[pairs[i]] = pairs[i + 1]
    }
  }
  return empty ? undefined : result
}

export function list(items) {
  if (items.length === 0) return items
  const result = items.filter((item) => item !== undefined)
  return result.length === 0 ? undefined : result
}

export function get(value, steps) {
  for (const step of steps) {
    if (typeof value !== 'object' || value === null) return undefined
    if (typeof step === 'number' && !Array.isArray(value)) return undefined
    value = value[step]
  }
  return value
}

function text(value) {
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

export function tpl(template, values) {
  if (typeof template !== 'string') return undefined
  for (let i = 0; i < values.length; i += 2) {
    template = template.split('{' + values[i] + '}').join(values[i + 1] === undefined || values[i + 1] === null ? '' : text(values[i + 1]))
  }
  return template
}

function wantList(formula, value) {
  if (value === undefined || value === null) return undefined
  if (!Array.isArray(value)) throw new TypeError(formula + ' takes a list, got ' + kind(value))
  return value
}

function kind(value) {
  if (typeof value === 'object') return 'an object'
  return (/^[aeiou]/.test(typeof value) ? 'an ' : 'a ') + typeof value
}

export function concat(values, delimiter = '') {
  values = wantList('$concat', values)
  if (values === undefined) return undefined
  return values
    .filter((v) => v !== undefined && v !== null && v !== '')
    .map(text)
    .join(String(delimiter))
}

// Equal as == has it, or in all that they hold.
export function same(a, b) {
  if (a === b || a == b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null || Array.isArray(a) !== Array.isArray(b)) return false
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((k) => Object.prototype.hasOwnProperty.call(b, k) && same(a[k], b[k]))
}

// A condition whose variables are not there holds.
export function holds(value) {
  return value === undefined || value === null || !!value
}

// The values that a path leads to; a list stands for all its items.
function values(value, steps) {
  for (let i = 0; i < steps.length; i++) {
    if (value === undefined || value === null) return []
    if (typeof steps[i] === 'string' && Array.isArray(value)) {
      const rest = steps.slice(i)
      return value.flatMap((item) => values(item, rest))
    }
    value = value[steps[i]]
  }
  return value === undefined || value === null ? [] : [value]
}

export function some(variables, steps, operator, operand) {
  const found = values(variables, steps)
  return found.length === 0 ? operator(undefined, operand) : found.some((value) => operator(value, operand))
}

function compare(a, b, f) {
  const [x, y] = [parseFloat(a), parseFloat(b)]
  return !isNaN(x) && !isNaN(y) && f(x, y)
}

function empty(value) {
  if (Array.isArray(value)) return value.length === 0
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0
  return value === undefined || value === null || value === ''
}

function contains(value, operand) {
  if (!value) return false
  if (Array.isArray(value)) return value.includes(operand)
  if (operand === undefined || operand === null) return false
  return text(value).toLowerCase().includes(text(operand).toLowerCase())
}

export const operators = {
  is: (value, operand) => value == operand,
  isNot: (value, operand) => value != operand,
  isTrue: (value) => !!value,
  isFalse: (value) => value === false,
  isEmpty: empty,
  isNotEmpty: (value) => !empty(value),
  contains,
  doesNotContain: (value, operand) => !contains(value, operand),
  has: (value, operand) => (value ? text(value).includes(String(operand)) : false),
  hasNot: (value, operand) => (value ? !text(value).includes(String(operand)) : false),
  includes: (value, operand) => Array.isArray(value) && value.includes(operand),
  doesNotInclude: (value, operand) => !Array.isArray(value) || !value.includes(operand),
  oneOf: (value, operand) => Array.isArray(operand) && operand.includes(value),
  noneOf: (value, operand) => !Array.isArray(operand) || !operand.includes(value),
  gt: (value, operand) => compare(value, operand, (x, y) => x > y),
  gte: (value, operand) => compare(value, operand, (x, y) => x >= y),
  lt: (value, operand) => compare(value, operand, (x, y) => x < y),
  lte: (value, operand) => compare(value, operand, (x, y) => x <= y),
}

function there(formula, items) {
  items = wantList(formula, items)
  if (items === undefined) return undefined
  items = items.filter((item) => item !== undefined && item !== null)
  return items.length === 0 ? undefined : items
}

export function and(items) {
  items = there('$and', items)
  return items === undefined ? undefined : items.every((item) => !!item)
}

export function or(items) {
  items = there('$or', items)
  return items === undefined ? undefined : items.some((item) => !!item)
}

export function firstNotEmpty(items) {
  items = there('$firstNotEmpty', items)
  return items === undefined ? undefined : items[0]
}

export function mergeObjects(items) {
  items = there('$mergeObjects', items)
  if (items === undefined) return undefined
  const result = Object.assign({}, ...items.filter((item) => typeof item === 'object'))
  return Object.keys(result).length === 0 ? undefined : result
}

function iterated(items) {
  items = items.filter((item) => item !== undefined)
  return items.length === 0 ? undefined : items
}

// With turned, the item stands in front of the source.
export function iterate(source, parent, item, turned) {
  if (turned) [source, item] = [item, source]
  source = wantList('$iterate', source)
  return source === undefined ? undefined : iterated(source.map((value, index) => item({ item: value, parent, index })))
}

export async function iterateAsync(source, parent, item, turned) {
  if (turned) [source, item] = [item, source]
  source = wantList('$iterate', source)
  if (source === undefined) return undefined
  const items = []
  for (let index = 0; index < source.length; index++) items.push(await item({ item: source[index], parent, index }))
  return iterated(items)
}

const salutations = /^(mr|mrs|ms|miss|mx|dr|prof|professor|sir|rev|hon)\.?$/i
const suffixes = /^(jr|sr|ii|iii|iv|esq|phd|md|dds|cpa)\.?$/i

// A name of one word is a last name.
function name(value) {
  let words = String(value === undefined || value === null ? '' : value).trim()
  const turned = /^([^,]+),\s*(.+)$/.exec(words)
  if (turned && !suffixes.test(turned[2])) words = turned[2] + ' ' + turned[1]
  words = words.replace(/,/g, ' ').split(/\s+/).filter((w) => w !== '')
  while (words.length > 1 && salutations.test(words[0])) words.shift()
  while (words.length > 1 && suffixes.test(words[words.length - 1])) words.pop()
  if (words.length < 2) return { last: words[0] }
  return { first: words[0], last: words[words.length - 1] }
}

export const firstName = (value) => name(value).first
export const lastName = (value) => name(value).last

export function domainFromEmail(value) {
  if (typeof value !== 'string') return undefined
  const parts = value.split('@')
  return parts.length === 2 ? parts[1] : undefined
}

function time(value) {
  const at = typeof value === 'number' ? value : Date.parse(value)
  return isNaN(at) ? undefined : new Date(at).toISOString()
}

export function extractDate(value) {
  const at = time(value)
  return at && at.slice(0, 10)
}

export function extractTime(value) {
  const at = time(value)
  return at && at.slice(11, 19)
}

export async function jsonata(engine, expression, variables) {
  if (expression === undefined || expression === null || expression === '') return undefined
  try {
    return await engine(String(expression)).evaluate(variables)
  } catch (e) {
    throw new Error('$jsonata: ' + (e && e.message ? e.message : e))
  }
}

// A place that another field of the result is copied to when that is there.
export class Copy {
  constructor(steps, path) {
    this.steps = steps
    this.path = path
  }
}

export function copied(result) {
  const fill = (value) => {
    if (value instanceof Copy) {
      const found = get(result, value.steps)
      const inner = (v) => v instanceof Copy || (typeof v === 'object' && v !== null && Object.keys(v).some((k) => inner(v[k])))
      if (inner(found)) throw new Error('$copy: ' + value.path + ' is itself a copy, or holds one')
      return found
    }
    if (Array.isArray(value)) {
      value.forEach((item, i) => hasCopy(item) && (value[i] = fill(item)))
    } else if (typeof value === 'object' && value !== null) {
      for (const k of Object.keys(value)) if (hasCopy(value[k])) value[k] = fill(value[k])
    }
    return value
  }
  const hasCopy = (v) => v instanceof Copy || (Array.isArray(v) ? v.some(hasCopy) : typeof v === 'object' && v !== null && Object.getPrototypeOf(v) === Object.prototype && Object.keys(v).some((k) => hasCopy(v[k])))
  return hasCopy(result) ? fill(result) : result
}
