import { seededRandom } from '../../src/base/random.ts'
import { DirectoryObjectStore } from '../../src/storage/directory-object-store.ts'
import type { FileSystem } from '../../src/storage/file-system.ts'
import { MemoryFileSystem } from '../../src/storage/memory-file-system.ts'
import { MemoryObjectStore } from '../../src/storage/memory-object-store.ts'
import { NodeFileSystem } from '../../src/storage/node-file-system.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { describeObjectStore } from './object-store.ts'

function directoryStore(fileSystem: FileSystem, path: string, seed: number): DirectoryObjectStore {
  return new DirectoryObjectStore({
    url: `file://${path}`,
    path,
    fileSystem,
    random: seededRandom(seed),
  })
}

describeObjectStore(
  'MemoryObjectStore',
  async () => {
    const store = new MemoryObjectStore()
    return { store, other: store }
  },
  { manyObjects: 2_500 },
)

describeObjectStore(
  'DirectoryObjectStore on real files',
  async () => {
    const path = `${await temporaryDirectory()}/archive/here`
    return {
      store: directoryStore(new NodeFileSystem(), path, 1),
      other: directoryStore(new NodeFileSystem(), path, 2),
    }
  },
  { manyObjects: 200 },
)

describeObjectStore(
  'DirectoryObjectStore in memory',
  async () => {
    const fileSystem = new MemoryFileSystem()
    return {
      store: directoryStore(fileSystem, '/archive', 1),
      other: directoryStore(fileSystem, '/archive', 2),
    }
  },
  { manyObjects: 1_500 },
)
