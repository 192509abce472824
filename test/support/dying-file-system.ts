import type { FileSystem } from '../../src/storage/file-system.ts'

/** A file system whose user dies before call number `steps`. */
export function dyingAfter(inner: FileSystem, steps: number): FileSystem {
  let left = steps
  const dying = <T extends object>(object: T): T =>
    new Proxy(object, {
      get(of, name) {
        const value: unknown = Reflect.get(of, name)
        if (typeof value !== 'function') return value
        return async (...given: unknown[]): Promise<unknown> => {
          if (left-- <= 0) throw new Error('killed')
          const result: unknown = await Reflect.apply(value, of, given)
          return name === 'create' ? dying(result as object) : result
        }
      },
    })
  return dying(inner)
}
