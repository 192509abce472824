/**
 * The file-system port in memory, for tests. It knows what was synced and what was not: `crash()`
 * keeps what the contract in `file-system.ts` promises, and of the rest a choice by the random port
 * that is harsher than any kernel:
 *
 * - Each directory entry that changed since its directory was synced is, independently of every
 *   other, as it was or as it is. So names appear without those made before them, removed files
 *   come back, and of a rename both names, one or none is left.
 * - A file keeps what was synced. Of the bytes after that, a random length survives, and in it each
 *   sector survives or is zeros.
 *
 * One crash ends every open file: using one afterwards fails, as it would for a process that is
 * gone.
 */
import { StratalogError } from '../base/errors.ts'
import { randomFraction, seededRandom, type Random } from '../base/random.ts'
import { fileTooShort } from './file-errors.ts'
import type { FileSystem, ReadableFile, WritableFile } from './file-system.ts'

const SECTOR_BYTES = 512

interface FileNode {
  readonly kind: 'file'
  bytes: Uint8Array
  length: number
  syncedLength: number
}

interface DirectoryNode {
  readonly kind: 'directory'
  entries: Map<string, Node>
  synced: Map<string, Node>
}

type Node = FileNode | DirectoryNode

export interface MemoryFileSystemOptions {
  /** Decides what unsynced state survives a crash. */
  readonly random?: Random
}

export class MemoryFileSystem implements FileSystem {
  readonly #random: Random
  readonly #root: DirectoryNode = newDirectory()
  /** Counts crashes; an open file belongs to the one it was opened under. */
  #life = 0

  constructor(options: MemoryFileSystemOptions = {}) {
    this.#random = options.random ?? seededRandom(1)
  }

  async open(path: string): Promise<ReadableFile> {
    const file = this.#file(path)
    const checkAlive = this.#aliveCheck(path)
    return {
      length: file.length,
      async read(position, length) {
        checkAlive()
        if (position + length > file.length) throw fileTooShort(path, position, length, file.length)
        return file.bytes.slice(position, position + length)
      },
      async close() {},
    }
  }

  async create(path: string): Promise<WritableFile> {
    const { directory, name } = this.#parent(path)
    if (directory.entries.has(name)) throw taken(path)
    const file = newFile()
    directory.entries.set(name, file)
    const checkAlive = this.#aliveCheck(path)
    return {
      async write(bytes) {
        checkAlive()
        appendBytes(file, bytes)
      },
      async sync() {
        checkAlive()
        file.syncedLength = file.length
      },
      async close() {},
    }
  }

  async read(path: string): Promise<Uint8Array> {
    const file = this.#file(path)
    return file.bytes.slice(0, file.length)
  }

  async putIfAbsent(path: string, bytes: Uint8Array): Promise<void> {
    const { directory, name } = this.#parent(path)
    if (directory.entries.has(name)) throw taken(path)
    const file = newFile()
    appendBytes(file, bytes)
    file.syncedLength = file.length
    directory.entries.set(name, file)
    directory.synced.set(name, file)
  }

  async rename(from: string, to: string): Promise<void> {
    const source = this.#parent(from)
    const node = source.directory.entries.get(source.name)
    if (node === undefined) throw missing('rename', from)
    const target = this.#parent(to)
    source.directory.entries.delete(source.name)
    target.directory.entries.set(target.name, node)
  }

  async remove(path: string): Promise<void> {
    const node = this.#find(path)
    if (node === null) return
    if (node.kind === 'directory') throw wrongKind('remove', path, 'EISDIR', 'it is a directory')
    const { directory, name } = this.#parent(path)
    directory.entries.delete(name)
  }

  async removeDirectory(path: string): Promise<void> {
    if (this.#find(path) === null) return
    const { directory, name } = this.#parent(path)
    directory.entries.delete(name)
  }

  async makeDirectory(path: string): Promise<void> {
    let directory = this.#root
    for (const name of partsOf(path)) {
      const next = directory.entries.get(name) ?? newDirectory()
      if (next.kind === 'file') throw taken(path)
      directory.entries.set(name, next)
      directory.synced.set(name, next)
      directory = next
    }
  }

  async list(path: string): Promise<readonly string[]> {
    const names = [...this.#directory(path).entries.keys()]
    return names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  }

  async stat(
    path: string,
  ): Promise<{ readonly length: number; readonly isDirectory: boolean } | null> {
    const node = this.#find(path)
    if (node === null) return null
    return {
      length: node.kind === 'file' ? node.length : 0,
      isDirectory: node.kind === 'directory',
    }
  }

  async syncDirectory(path: string): Promise<void> {
    const directory = this.#directory(path)
    directory.synced = new Map(directory.entries)
  }

  /**
   * A power cut. `keep: 'promised'` loses everything that was not synced; `'random'` is as the head
   * of this file says.
   */
  crash(keep: 'promised' | 'random' = 'random'): void {
    this.#life++
    this.#crashDirectory(this.#root, keep, new Set())
  }

  #crashDirectory(directory: DirectoryNode, keep: 'promised' | 'random', seen: Set<Node>): void {
    const survivors = new Map<string, Node>()
    for (const name of new Set([...directory.synced.keys(), ...directory.entries.keys()])) {
      const before = directory.synced.get(name)
      const after = directory.entries.get(name)
      const node = before === after || keep === 'promised' || this.#coin() ? before : after
      if (node !== undefined) survivors.set(name, node)
    }
    directory.entries = survivors
    directory.synced = new Map(survivors)
    for (const node of survivors.values()) {
      if (seen.has(node)) continue
      seen.add(node)
      if (node.kind === 'directory') this.#crashDirectory(node, keep, seen)
      else this.#crashFile(node, keep)
    }
  }

  #crashFile(file: FileNode, keep: 'promised' | 'random'): void {
    const unsynced = file.length - file.syncedLength
    const kept = keep === 'promised' ? 0 : Math.floor(randomFraction(this.#random) * (unsynced + 1))
    const bytes = file.bytes.slice(0, file.syncedLength + kept)
    let position = file.syncedLength
    while (position < bytes.length) {
      const end = Math.min(bytes.length, (Math.floor(position / SECTOR_BYTES) + 1) * SECTOR_BYTES)
      if (this.#coin()) bytes.fill(0, position, end)
      position = end
    }
    file.bytes = bytes
    file.length = bytes.length
    file.syncedLength = bytes.length
  }

  #coin(): boolean {
    return randomFraction(this.#random) < 0.5
  }

  #aliveCheck(path: string): () => void {
    const life = this.#life
    return () => {
      if (life !== this.#life) throw wrongKind('use', path, 'EBADF', 'it was opened before a crash')
    }
  }

  #find(path: string): Node | null {
    let node: Node = this.#root
    for (const name of partsOf(path)) {
      if (node.kind === 'file') return null
      const next = node.entries.get(name)
      if (next === undefined) return null
      node = next
    }
    return node
  }

  #file(path: string): FileNode {
    const node = this.#find(path)
    if (node === null) throw missing('open', path)
    if (node.kind === 'directory') throw wrongKind('open', path, 'EISDIR', 'it is a directory')
    return node
  }

  #directory(path: string): DirectoryNode {
    const node = this.#find(path)
    if (node === null || node.kind === 'file') throw missing('open the directory', path)
    return node
  }

  #parent(path: string): { readonly directory: DirectoryNode; readonly name: string } {
    const parts = partsOf(path)
    const name = parts.pop()
    if (name === undefined) throw wrongKind('create', path, 'EISDIR', 'it is the root')
    return { directory: this.#directory(parts.join('/')), name }
  }
}

function newFile(): FileNode {
  return { kind: 'file', bytes: new Uint8Array(0), length: 0, syncedLength: 0 }
}

function newDirectory(): DirectoryNode {
  return { kind: 'directory', entries: new Map(), synced: new Map() }
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.')
}

function appendBytes(file: FileNode, bytes: Uint8Array): void {
  const length = file.length + bytes.length
  if (length > file.bytes.length) {
    const grown = new Uint8Array(Math.max(length, file.bytes.length * 2))
    grown.set(file.bytes.subarray(0, file.length))
    file.bytes = grown
  }
  file.bytes.set(bytes, file.length)
  file.length = length
}

function missing(operation: string, path: string): StratalogError {
  return new StratalogError(
    'file_not_found',
    `Cannot ${operation} ${path}: no such file or directory.`,
    {
      details: { path, operation, errno: 'ENOENT' },
    },
  )
}

function taken(path: string): StratalogError {
  return new StratalogError('file_exists', `Cannot create ${path}: the name is taken.`, {
    details: { path, errno: 'EEXIST' },
  })
}

function wrongKind(operation: string, path: string, errno: string, reason: string): StratalogError {
  return new StratalogError('file_system_failed', `Cannot ${operation} ${path}: ${reason}.`, {
    details: { path, operation, errno },
  })
}
