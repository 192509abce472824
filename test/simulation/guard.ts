/**
 * Catches an engine that reaches for real time or chance in a simulated run: what it got would not be the same the next
 * time. Whoever else runs in the process, a test runner for one, keeps what it has.
 */
const SOURCE = /\/src\/(base|format|storage|log|tiering|snapshot|replay|engine)\//

type Anything = (...given: never[]) => unknown

interface Guarded {
  readonly owner: object
  readonly name: string
}

const GUARDED: readonly Guarded[] = [
  { owner: globalThis, name: 'setTimeout' },
  { owner: globalThis, name: 'setInterval' },
  { owner: globalThis, name: 'setImmediate' },
  { owner: Date, name: 'now' },
  { owner: performance, name: 'now' },
  { owner: Math, name: 'random' },
  { owner: crypto, name: 'getRandomValues' },
  { owner: crypto, name: 'randomUUID' },
  // On libuv's pool: it ends when it ends.
  { owner: crypto.subtle, name: 'digest' },
]

/** From now on `report` is told of each use, until the returned function is called. */
export function watchAmbientUse(report: (name: string) => void): () => void {
  const restore = GUARDED.map(({ owner, name }) => {
    const original = Reflect.get(owner, name) as Anything
    const own = Object.getOwnPropertyDescriptor(owner, name)
    const watched = function (this: unknown, ...given: never[]): unknown {
      if (calledBySource()) report(name)
      return Reflect.apply(original, this ?? owner, given)
    }
    Object.defineProperty(owner, name, { value: watched, configurable: true, writable: true })
    return () => {
      if (own === undefined) Reflect.deleteProperty(owner, name)
      else Object.defineProperty(owner, name, own)
    }
  })
  return () => {
    for (const undo of restore) undo()
  }
}

/** Whether the caller of what is guarded lies in the engine. */
function calledBySource(): boolean {
  const before = Error.stackTraceLimit
  Error.stackTraceLimit = 4
  const stack = new Error('where').stack ?? ''
  Error.stackTraceLimit = before
  // The lines after the message: this function, the guard, its caller.
  return SOURCE.test(stack.split('\n')[3] ?? '')
}
