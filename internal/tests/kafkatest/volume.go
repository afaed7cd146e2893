package kafkatest

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"testing"

	"github.com/testcontainers/testcontainers-go"
)

// dataFolder is where a broker with a volume keeps its data.
const dataFolder = "/var/lib/kafka/data"

// Volume is a broker's disk. A second container holds it, so that it outlives the broker's.
type Volume struct {
	name   string
	holder *testcontainers.DockerContainer
}

// SmallVolumes makes n disks of the given size in memory, and returns them with their common name for [Options.Volume].
func SmallVolumes(tb testing.TB, n, megabytes int) (name string, volumes []*Volume) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	name = fmt.Sprintf("jmpub-%d-", FreePorts(tb, 1)[0])
	for i := range n {
		v := &Volume{name: volumeName(name, i)}
		create := []string{
			"volume", "create", "--driver", "local", "--opt", "type=tmpfs", "--opt", "device=tmpfs",
			"--opt", "o=size=" + strconv.Itoa(megabytes) + "m,mode=0777",
		}
		for key, value := range labels() {
			create = append(create, "--label", key+"="+value)
		}
		out, err := exec.CommandContext(ctx, "docker", append(create, v.name)...).CombinedOutput() //nolint:gosec // Ours.
		if err != nil {
			tb.Fatalf("make volume %s: %v: %s", v.name, err, out)
		}
		tb.Cleanup(func() {
			said, failed := exec.Command("docker", "volume", "rm", "--force", v.name).CombinedOutput() //nolint:gosec,noctx // Ours; the test is over.
			if failed != nil {
				tb.Logf("remove volume %s: %v: %s", v.name, failed, said)
			}
		})
		v.holder, err = testcontainers.Run(ctx, image(),
			testcontainers.WithEntrypoint("sleep"), testcontainers.WithCmd("86400"), testcontainers.WithLabels(labels()),
			mounted(v.name))
		if v.holder != nil {
			testcontainers.CleanupContainer(tb, v.holder)
		}
		if err != nil {
			tb.Fatalf("hold volume %s: %v", v.name, err)
		}
		volumes = append(volumes, v)
	}
	return name, volumes
}

// Fill leaves no room on the disk.
func (v *Volume) Fill(tb testing.TB) {
	tb.Helper()
	v.sh(tb, "cat /dev/zero > "+dataFolder+"/ballast || true")
}

// Free undoes Fill.
func (v *Volume) Free(tb testing.TB) { tb.Helper(); v.sh(tb, "rm -f "+dataFolder+"/ballast") }

func (v *Volume) sh(tb testing.TB, script string) {
	tb.Helper()
	code, _, err := v.holder.Exec(tb.Context(), []string{"sh", "-c", script})
	if err != nil || code != 0 {
		tb.Fatalf("%s: %s: %v, exit code %d", v.name, script, err, code)
	}
}

func volumeName(prefix string, i int) string { return prefix + strconv.Itoa(i+1) }

func mounted(volume string) testcontainers.CustomizeRequestOption {
	return testcontainers.WithMounts(testcontainers.VolumeMount(volume, dataFolder))
}
