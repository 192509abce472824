/** What a value from a row looks like as a type, to tell a user why a list or a struct column did not take it. */

/** Type texts beyond this help nobody. */
const TEXT_MAX = 200
const DEPTH_MAX = 8
/** Items of a list that are looked at: enough to find the odd one out in what people write by hand. */
const ITEMS_MAX = 1_000

/**
 * The type of a value, with several where the items of a list differ: `list<int32|utf8>`.
 * @param nameOf names the type of a value that is no array and no plain object.
 */
export function shapeOfValue(value: unknown, nameOf: (value: unknown) => string): string {
  const text = shape(value, nameOf, 0)
  return text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX)}…`
}

function shape(value: unknown, nameOf: (value: unknown) => string, depth: number): string {
  if (value === null || value === undefined) return 'null'
  if (depth > DEPTH_MAX) return '…'
  if (Array.isArray(value)) {
    const items = new Set(
      value.slice(0, ITEMS_MAX).map((item: unknown) => shape(item, nameOf, depth + 1)),
    )
    if (items.size > 1) items.delete('null')
    return `list<${[...items].join('|')}>`
  }
  if (!isRecord(value)) return nameOf(value)
  const fields = Object.keys(value)
    .slice(0, ITEMS_MAX)
    .map((name) => `${name}:${shape(value[name], nameOf, depth + 1)}`)
  return `struct<${fields.join(',')}>`
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
