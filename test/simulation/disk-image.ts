/**
 * A disk that two file-system ports share, with what is on its platter apart from what reads see. It is the weakest
 * that `docs/guarantees.md` asks an engine to survive, and weaker than any kernel:
 *
 * - A power cut keeps each 512-byte sector that was written since the last sync of its file, and each directory entry
 *   that changed since the last sync of its directory, or does not, each independently of every other. So a file has
 *   its end and not its middle, and of a rename both names, one or none is left.
 * - After a sync of a file that failed, reads go on to show what was written, the next sync succeeds, and what the
 *   failed one should have saved is gone at the next power cut. A directory is metadata: a file system that cannot
 *   write it does not forget it, so that a later sync may save what a failed one did not.
 * - When a process is killed nothing is lost, and nothing that was not synced becomes durable by it.
 *
 * Nothing here waits, fails by chance or knows of processes: that is what the ports over it do.
 */
import { StratalogError } from '../../src/base/errors.ts'
import { fileTooShort } from '../../src/storage/file-errors.ts'
import type { Dice } from './dice.ts'

const SECTOR_BYTES = 512
const NO_BYTES = new Uint8Array(0)

export type ImageNode = FileNode | DirectoryNode

export class FileNode {
  readonly kind = 'file'
  #visible = new Uint8Array(0)
  #length = 0
  #syncedLength = 0
  /** Sectors written since the last sync. */
  readonly #dirty = new Set<number>()
  /** What the platter has of the sectors in which it differs from what reads see; it may be shorter than a sector. */
  readonly #platter = new Map<number, Uint8Array>()

  get length(): number {
    return this.#length
  }

  write(bytes: Uint8Array, position: number): void {
    const end = position + bytes.length
    const first = Math.floor(position / SECTOR_BYTES)
    for (let sector = first; sector * SECTOR_BYTES < end; sector++) {
      this.#dirty.add(sector)
      if (!this.#platter.has(sector)) this.#platter.set(sector, this.#sector(sector))
    }
    this.#visible = grown(this.#visible, end)
    this.#visible.set(bytes, position)
    this.#length = Math.max(this.#length, end)
  }

  /** How many bytes there were. */
  read(into: Uint8Array, position: number): number {
    const start = Math.min(position, this.#length)
    const part = this.#visible.subarray(start, Math.min(position + into.length, this.#length))
    into.set(part)
    return part.length
  }

  /** @throws StratalogError `file_corrupt` where the file ends before. */
  slice(path: string, position: number, length: number): Uint8Array {
    if (position + length > this.#length) throw fileTooShort(path, position, length, this.#length)
    return this.#visible.slice(position, position + length)
  }

  sync(): void {
    for (const sector of this.#dirty) this.#platter.delete(sector)
    this.#syncedLength = Math.max(this.#syncedLength, this.#length)
    this.#dirty.clear()
  }

  failSync(): void {
    this.#dirty.clear()
  }

  cutPower(dice: Dice): void {
    for (const sector of this.#dirty) {
      if (!dice.chance(0.5)) continue
      this.#platter.delete(sector)
      const end = Math.min(this.#length, (sector + 1) * SECTOR_BYTES)
      this.#syncedLength = Math.max(this.#syncedLength, end)
    }
    this.#dirty.clear()
    for (const [sector, bytes] of this.#platter) {
      const start = sector * SECTOR_BYTES
      this.#visible.fill(0, start, start + SECTOR_BYTES)
      this.#visible.set(bytes, start)
    }
    this.#platter.clear()
    this.#length = this.#syncedLength
    this.#visible.fill(0, this.#length)
  }

  clone(): FileNode {
    const copy = new FileNode()
    copy.#visible = this.#visible.slice(0, this.#length)
    copy.#length = this.#length
    copy.#syncedLength = this.#syncedLength
    for (const sector of this.#dirty) copy.#dirty.add(sector)
    // Never written to: kept whole, or let go.
    for (const [sector, bytes] of this.#platter) copy.#platter.set(sector, bytes)
    return copy
  }

  #sector(sector: number): Uint8Array {
    const start = sector * SECTOR_BYTES
    if (start >= this.#length) return NO_BYTES
    return this.#visible.slice(start, Math.min(start + SECTOR_BYTES, this.#length))
  }
}

export class DirectoryNode {
  readonly kind = 'directory'
  #entries = new Map<string, ImageNode>()
  #synced = new Map<string, ImageNode>()
  /** Names that changed since the last sync. */
  readonly #dirty = new Set<string>()

  get names(): readonly string[] {
    return [...this.#entries.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  }

  get(name: string): ImageNode | undefined {
    return this.#entries.get(name)
  }

  set(name: string, node: ImageNode): void {
    this.#entries.set(name, node)
    this.#dirty.add(name)
  }

  delete(name: string): void {
    if (this.#entries.delete(name)) this.#dirty.add(name)
  }

  sync(): void {
    for (const name of this.#dirty) this.#keep(name)
    this.#dirty.clear()
  }

  cutPower(dice: Dice, seen: Set<ImageNode> = new Set()): void {
    for (const name of this.#dirty) if (dice.chance(0.5)) this.#keep(name)
    this.#dirty.clear()
    this.#entries = new Map(this.#synced)
    for (const node of this.#entries.values()) {
      if (seen.has(node)) continue
      seen.add(node)
      if (node.kind === 'file') node.cutPower(dice)
      else node.cutPower(dice, seen)
    }
  }

  clone(copies: Map<ImageNode, ImageNode> = new Map()): DirectoryNode {
    const copy = new DirectoryNode()
    copies.set(this, copy)
    const copyOf = (node: ImageNode): ImageNode => {
      const made = copies.get(node) ?? (node.kind === 'file' ? node.clone() : node.clone(copies))
      copies.set(node, made)
      return made
    }
    for (const [name, node] of this.#entries) copy.#entries.set(name, copyOf(node))
    for (const [name, node] of this.#synced) copy.#synced.set(name, copyOf(node))
    for (const name of this.#dirty) copy.#dirty.add(name)
    return copy
  }

  #keep(name: string): void {
    const node = this.#entries.get(name)
    if (node === undefined) this.#synced.delete(name)
    else this.#synced.set(name, node)
  }
}

/** A tree of directories and files, by path. */
export class DiskImage {
  #root = new DirectoryNode()

  find(path: string): ImageNode | null {
    let node: ImageNode = this.#root
    for (const name of partsOf(path)) {
      if (node.kind === 'file') return null
      const next = node.get(name)
      if (next === undefined) return null
      node = next
    }
    return node
  }

  /** @throws StratalogError `file_not_found`, `file_system_failed`. */
  file(path: string): FileNode {
    const node = this.find(path)
    if (node === null) throw fault('file_not_found', 'open', path, 'ENOENT')
    if (node.kind === 'directory') throw fault('file_system_failed', 'open', path, 'EISDIR')
    return node
  }

  /** @throws StratalogError `file_not_found`. */
  directory(path: string): DirectoryNode {
    const node = this.find(path)
    if (node?.kind === 'directory') return node
    throw fault('file_not_found', 'open the directory', path, 'ENOENT')
  }

  /** An empty file under a free name. @throws StratalogError `file_exists`, `file_not_found`. */
  create(path: string): FileNode {
    const file = new FileNode()
    this.link(file, path)
    return file
  }

  /** Gives a file one more name. @throws StratalogError `file_exists`, `file_not_found`. */
  link(file: FileNode, path: string): void {
    const { directory, name } = this.#place(path)
    if (directory.get(name) !== undefined) throw fault('file_exists', 'create', path, 'EEXIST')
    directory.set(name, file)
  }

  rename(from: string, to: string): void {
    const source = this.#place(from)
    const node = source.directory.get(source.name)
    if (node === undefined) throw fault('file_not_found', 'rename', from, 'ENOENT')
    const target = this.#place(to)
    source.directory.delete(source.name)
    target.directory.set(target.name, node)
  }

  remove(path: string): void {
    if (this.find(path) === null) return
    const { directory, name } = this.#place(path)
    directory.delete(name)
  }

  /** One directory in one that is there; one that is there stays. @throws StratalogError `file_exists`. */
  makeDirectory(path: string): void {
    const found = this.find(path)
    if (found?.kind === 'file') throw fault('file_exists', 'make the directory', path, 'EEXIST')
    if (found !== null) return
    const { directory, name } = this.#place(path)
    directory.set(name, new DirectoryNode())
  }

  cutPower(dice: Dice): void {
    this.#root.cutPower(dice)
  }

  clone(): DiskImage {
    const copy = new DiskImage()
    copy.#root = this.#root.clone()
    return copy
  }

  /** Every file that reads see, in order. */
  *paths(below = ''): Generator<string> {
    for (const name of this.directory(below).names) {
      const path = `${below}/${name}`
      if (this.find(path)?.kind === 'directory') yield* this.paths(path)
      else yield path
    }
  }

  #place(path: string): { readonly directory: DirectoryNode; readonly name: string } {
    const parts = partsOf(path)
    const name = parts.pop()
    if (name === undefined) throw fault('file_system_failed', 'change', path, 'EISDIR')
    return { directory: this.directory(parts.join('/')), name }
  }
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')))
}

export function fault(
  code: 'file_not_found' | 'file_exists' | 'file_system_failed' | 'disk_full',
  operation: string,
  path: string,
  errno: string,
): StratalogError {
  return new StratalogError(code, `Cannot ${operation} ${path}: ${errno}.`, {
    details: { path, operation, errno },
  })
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '')
}

function grown(bytes: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  if (length <= bytes.length) return bytes
  const bigger = new Uint8Array(Math.max(length, bytes.length * 2))
  bigger.set(bytes)
  return bigger
}
