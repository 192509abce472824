import { StratalogError } from '../../src/base/errors.ts'
import type { FileSystem } from '../../src/storage/file-system.ts'

/** A disk that is full after `bytes`: what is written beyond fails, part of it done, as a kernel does it. */
export function fullAfter(inner: FileSystem, bytes: number): FileSystem {
  let left = bytes
  const take = (path: string, length: number): void => {
    left -= length
    if (left < 0) throw new StratalogError('disk_full', `No space is left for ${path}.`)
  }
  return new Proxy(inner, {
    get(of, name) {
      if (name === 'create')
        return async (path: string) => {
          const file = await of.create(path)
          return {
            ...file,
            write: async (given: Uint8Array) => {
              await file.write(given.subarray(0, Math.max(0, left)))
              take(path, given.length)
            },
          }
        }
      if (name === 'putIfAbsent')
        return async (path: string, given: Uint8Array) => {
          take(path, given.length)
          await of.putIfAbsent(path, given)
        }
      const value: unknown = Reflect.get(of, name)
      return typeof value === 'function' ? value.bind(of) : value
    },
  })
}
