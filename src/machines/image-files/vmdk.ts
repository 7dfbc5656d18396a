/**
 * Which VMDK files may be opened: monolithicSparse and streamOptimized, whose header, descriptor and only extent lie in
 * one file. A VMDK that is a text of extents names other files of the host, and is refused. Source: VMware's "Virtual
 * Disk Format 5.0".
 */
import { UnusableImage } from '../../lib/unusable-image.ts'
import type { FileWindow } from './file-window.ts'

export const vmdkMagic = Buffer.from('KDMV')
export const vmdkMagicOfOld = Buffer.from('COWD')
export const vmdkDescriptorStart = '# Disk DescriptorFile'

const sectorBytes = 512
/** Longest descriptor that is read; those of real disks have one or two KiB. */
const descriptorSectorsMax = 128
const types = new Set(['monolithicsparse', 'streamoptimized'])
const noParent = 'ffffffff'

/** Throws {@link UnusableImage} for every other kind, and for one that needs a parent. */
export async function checkVmdk(window: FileWindow): Promise<void> {
  const header = await window.read(0, sectorBytes)
  const version = header.readUInt32LE(4)
  if (version < 1 || version > 3) throw new UnusableImage(`a VMDK of version ${version}: only versions 1 to 3 are read`)
  // Without a capacity of its own the header stands for whatever files the descriptor names.
  if (header.readBigUInt64LE(12) === 0n) throw new UnusableImage(otherFiles)
  const [at, sectors] = [header.readBigUInt64LE(28), header.readBigUInt64LE(36)]
  if (at === 0n || sectors === 0n) throw new UnusableImage('a VMDK without its descriptor: an extent of another disk')
  if (sectors > descriptorSectorsMax || at > BigInt(Number.MAX_SAFE_INTEGER) / 1024n) {
    throw new UnusableImage('a VMDK whose descriptor is not where or what it should be')
  }
  const descriptor = await window.read(Number(at) * sectorBytes, Number(sectors) * sectorBytes)
  checkDescriptor(descriptor.toString('latin1').replace(/\0[\s\S]*$/, ''))
}

const otherFiles = 'a VMDK that names other files as its extents: export it as streamOptimized or monolithicSparse'

function checkDescriptor(text: string): void {
  const lines = text.split(/\r?\n/).map((line) => line.trim())
  const entry = (name: string) => {
    const line = lines.find((each) => each.toLowerCase().startsWith(`${name}=`))
    return line
      ?.slice(name.length + 1)
      .replaceAll('"', '')
      .trim()
      .toLowerCase()
  }
  const type = entry('createtype')
  if (!type || !types.has(type)) {
    throw new UnusableImage(
      `a VMDK of type '${clipped(type ?? '')}': only streamOptimized and monolithicSparse are read`,
    )
  }
  const parent = entry('parentcid')
  if ((parent !== undefined && parent !== noParent) || entry('parentfilenamehint') !== undefined) {
    throw new UnusableImage('a VMDK with a parent disk: only an image that stands alone can be imported')
  }
  const extents = lines.filter((line) => /^(RW|RDONLY|NOACCESS)\s/i.test(line))
  if (extents.length !== 1 || !/^RW\s+\d+\s+SPARSE\s+"[^"]*"(\s+0)?$/i.test(extents[0]!)) {
    throw new UnusableImage(otherFiles)
  }
}

const clipped = (text: string) => text.replace(/[^\x20-\x7e]/g, '?').slice(0, 40)
