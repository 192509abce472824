import { MemoryFileSystem } from '../../src/storage/memory-file-system.ts'
import { NodeFileSystem } from '../../src/storage/node-file-system.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { describeFileSystem, type FileSystemFixture } from './file-system.ts'

async function onDisk(fileSystem: NodeFileSystem): Promise<FileSystemFixture> {
  return { fileSystem, root: await temporaryDirectory() }
}

describeFileSystem('NodeFileSystem', () => onDisk(new NodeFileSystem()))

describeFileSystem('NodeFileSystem without hard links', () =>
  onDisk(new NodeFileSystem({ hardLinks: false })),
)

describeFileSystem('MemoryFileSystem', async () => {
  const fileSystem = new MemoryFileSystem()
  await fileSystem.makeDirectory('/root')
  return { fileSystem, root: '/root' }
})
