/**
 * The synchronous file-system port in memory, for tests and the simulator. It knows what was synced
 * and what was not, and is harsher than a kernel:
 *
 * - `crash()` lets each unsynced 512-byte sector of a file, and each unsynced directory entry,
 *   independently of every other, be as it was synced or as it is. Of a rename both names, one or none may be left.
 * - After a failed sync the file still reads as written, but what that sync should have saved is lost at the next crash
 *   unless it is written again; the next sync succeeds.
 * - `faults` sees each operation before it happens: it throws to make it fail, and cuts a write short.
 */
import { StratalogError } from '../base/errors.ts'
import { type Random, seededRandom } from '../base/random.ts'
import type { SyncFile, SyncFileSystem } from './file-system.ts'
import { writeFully } from './write-fully.ts'

const SECTOR_BYTES = 512

export interface SyncOperation {
  readonly kind:
    | 'open'
    | 'write'
    | 'read'
    | 'dataSync'
    | 'sync'
    | 'rename'
    | 'remove'
    | 'list'
    | 'makeDirectory'
    | 'syncDirectory'
  readonly path: string
  /** Of a write or a read. */
  readonly position: number
  readonly length: number
}

/** Throws to make the operation fail. For a write, a returned number is how many bytes the kernel takes of it. */
export type SyncFaults = (operation: SyncOperation) => number | undefined

export interface MemorySyncFileSystemOptions {
  /** Decides what unsynced state survives a crash. */
  readonly random?: Random
  readonly faults?: SyncFaults
}

export class MemorySyncFileSystem implements SyncFileSystem {
  /** May be replaced at any time. */
  faults: SyncFaults
  readonly #random: Random
  readonly #directories = new Map<string, Directory>()
  #generation = 0

  constructor(options: MemorySyncFileSystemOptions = {}) {
    this.faults = options.faults ?? ((): undefined => undefined)
    this.#random = options.random ?? seededRandom(1)
  }

  open(path: string, how: 'create' | 'read' | 'write'): SyncFile {
    this.#before('open', path)
    const { directory, name } = this.#locate(path)
    const present = directory.entries.get(name)
    if (how === 'create' && present !== undefined)
      throw failure('file_exists', 'create', path, 'EEXIST')
    if (how !== 'create' && present === undefined)
      throw failure('file_not_found', 'open', path, 'ENOENT')
    const node = present ?? new MemoryNode()
    directory.entries.set(name, node)
    const generation = this.#generation
    return new MemorySyncFile(path, node, (kind, position, length) => {
      if (generation !== this.#generation) throw failure('file_system_failed', kind, path, 'EBADF')
      return this.faults({ kind, path, position, length })
    })
  }

  rename(from: string, to: string): void {
    this.#before('rename', from)
    const source = this.#locate(from)
    const node = source.directory.entries.get(source.name)
    if (node === undefined) throw failure('file_not_found', 'rename', from, 'ENOENT')
    const target = this.#locate(to)
    source.directory.entries.delete(source.name)
    target.directory.entries.set(target.name, node)
  }

  remove(path: string): void {
    this.#before('remove', path)
    const { directory, name } = this.#locate(path)
    directory.entries.delete(name)
  }

  list(path: string): readonly string[] {
    this.#before('list', path)
    return [...this.#directory(path).entries.keys()].sort()
  }

  makeDirectory(path: string): void {
    this.#before('makeDirectory', path)
    if (!this.#directories.has(path))
      this.#directories.set(path, { entries: new Map(), synced: new Map() })
  }

  syncDirectory(path: string): void {
    this.#before('syncDirectory', path)
    const directory = this.#directory(path)
    directory.synced = new Map(directory.entries)
  }

  /** Power fails: open files end, and unsynced state survives in part. */
  crash(): void {
    this.#generation++
    for (const directory of this.#directories.values()) {
      const entries = new Map<string, MemoryNode>()
      for (const name of new Set([...directory.synced.keys(), ...directory.entries.keys()])) {
        const node = (this.#isKept() ? directory.entries : directory.synced).get(name)
        if (node !== undefined) entries.set(name, node)
      }
      directory.entries = entries
      directory.synced = new Map(entries)
    }
    const nodes = new Set(
      [...this.#directories.values()].flatMap((directory) => [...directory.entries.values()]),
    )
    for (const node of nodes) node.crash(() => this.#isKept())
  }

  /** The process dies and the system goes on: open files end, nothing is lost. */
  kill(): void {
    this.#generation++
  }

  /** The bytes of a file as they read now; for tests. */
  bytes(path: string): Uint8Array {
    return this.#node(path).bytes()
  }

  /** Makes a durable file of these bytes, in place of what was there; for tests. */
  replace(path: string, bytes: Uint8Array): void {
    const { directory, name } = this.#locate(path)
    const node = new MemoryNode()
    node.write(bytes, 0)
    node.sync()
    directory.entries.set(name, node)
    directory.synced.set(name, node)
  }

  #node(path: string): MemoryNode {
    const { directory, name } = this.#locate(path)
    const node = directory.entries.get(name)
    if (node === undefined) throw failure('file_not_found', 'open', path, 'ENOENT')
    return node
  }

  #locate(path: string): { readonly directory: Directory; readonly name: string } {
    const slash = path.lastIndexOf('/')
    return {
      directory: this.#directory(path.slice(0, Math.max(slash, 0))),
      name: path.slice(slash + 1),
    }
  }

  #directory(path: string): Directory {
    const directory = this.#directories.get(path)
    if (directory === undefined) throw failure('file_not_found', 'open', path, 'ENOENT')
    return directory
  }

  #before(kind: SyncOperation['kind'], path: string): void {
    this.faults({ kind, path, position: 0, length: 0 })
  }

  #isKept(): boolean {
    return (this.#random.uint32() & 0x8000) !== 0
  }
}

interface Directory {
  entries: Map<string, MemoryNode>
  synced: Map<string, MemoryNode>
}

/** What a file is apart from its names. */
class MemoryNode {
  #visible = new Uint8Array(0)
  #length = 0
  #synced = new Uint8Array(0)
  #syncedLength = 0
  /** Sectors written since the last sync. */
  readonly #dirty = new Set<number>()

  get length(): number {
    return this.#length
  }

  bytes(): Uint8Array {
    return this.#visible.slice(0, this.#length)
  }

  write(bytes: Uint8Array, position: number): void {
    const end = position + bytes.length
    this.#visible = grown(this.#visible, end)
    this.#visible.set(bytes, position)
    this.#length = Math.max(this.#length, end)
    for (let sector = Math.floor(position / SECTOR_BYTES); sector * SECTOR_BYTES < end; sector++)
      this.#dirty.add(sector)
  }

  read(into: Uint8Array, position: number): number {
    const part = this.#visible.subarray(
      Math.min(position, this.#length),
      Math.min(position + into.length, this.#length),
    )
    into.set(part)
    return part.length
  }

  sync(): void {
    for (const sector of this.#dirty) this.#keep(sector)
    this.#syncedLength = Math.max(this.#syncedLength, this.#length)
    this.#dirty.clear()
  }

  /** A failed sync: the pages count as clean and were never written. */
  loseDirty(): void {
    this.#dirty.clear()
  }

  crash(isKept: () => boolean): void {
    for (const sector of this.#dirty) {
      if (!isKept()) continue
      this.#keep(sector)
      this.#syncedLength = Math.max(
        this.#syncedLength,
        Math.min(this.#length, (sector + 1) * SECTOR_BYTES),
      )
    }
    this.#dirty.clear()
    this.#length = this.#syncedLength
    this.#synced = grown(this.#synced, this.#length)
    this.#visible = this.#synced.slice(0, this.#length)
  }

  #keep(sector: number): void {
    const start = sector * SECTOR_BYTES
    const end = Math.min(start + SECTOR_BYTES, this.#length)
    this.#synced = grown(this.#synced, end)
    this.#synced.set(this.#visible.subarray(start, end), start)
  }
}

class MemorySyncFile implements SyncFile {
  readonly #path: string
  readonly #node: MemoryNode
  readonly #before: (
    kind: SyncOperation['kind'],
    position: number,
    length: number,
  ) => number | undefined

  constructor(
    path: string,
    node: MemoryNode,
    before: (kind: SyncOperation['kind'], position: number, length: number) => number | undefined,
  ) {
    this.#path = path
    this.#node = node
    this.#before = before
  }

  length(): number {
    return this.#node.length
  }

  write(bytes: Uint8Array, position: number): void {
    writeFully(this.#path, bytes.length, position, (from, at) => {
      const wanted = bytes.length - from
      const count = Math.min(this.#before('write', at, wanted) ?? wanted, wanted)
      this.#node.write(bytes.subarray(from, from + count), at)
      return count
    })
  }

  read(into: Uint8Array, position: number): number {
    this.#before('read', position, into.length)
    return this.#node.read(into, position)
  }

  dataSync(): void {
    this.#sync('dataSync')
  }

  sync(): void {
    this.#sync('sync')
  }

  close(): void {}

  #sync(kind: 'dataSync' | 'sync'): void {
    try {
      this.#before(kind, 0, 0)
    } catch (error) {
      this.#node.loseDirty()
      throw error
    }
    this.#node.sync()
  }
}

function grown(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  if (length <= bytes.length) return bytes
  const bigger = new Uint8Array(Math.max(length, bytes.length * 2))
  bigger.set(bytes)
  return bigger
}

function failure(
  code: 'file_not_found' | 'file_exists' | 'file_system_failed',
  operation: string,
  path: string,
  errno: string,
): StratalogError {
  return new StratalogError(code, `Cannot ${operation} ${path}: ${errno}.`, {
    details: { path, operation, errno },
  })
}
