package app
import ("testing";"context";"time";"fmt")
func TestZZ(t *testing.T){
 d:=t.TempDir(); t0:=time.Now()
 if err:=LoadDemo(context.Background(), d, time.Now());err!=nil{t.Fatal(err)}
 fmt.Println(time.Since(t0))
}
